package main

import "syscall"

// dieWithUs has the kernel kill the command when penstock ends, which includes a
// kill -9: its job is about to run elsewhere.
func dieWithUs(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
