package postgres

import "syscall"

// dieWithParent has the kernel stop the server at once when the thread that
// started it ends, which includes a kill -9 of this process. SIGQUIT, because a
// fast shutdown would first write a checkpoint and may take minutes.
//
// Changing user clears the setting, so order matters: the Go runtime applies the
// credential first and this after it, and kills the child itself if the parent
// was already gone. The caller keeps the starting thread alive (see runProcess).
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = signalImmediate }
