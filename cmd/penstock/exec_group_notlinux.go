//go:build unix && !linux

package main

import "syscall"

// dieWithUs needs a kernel that watches parents.
func dieWithUs(*syscall.SysProcAttr) {}
