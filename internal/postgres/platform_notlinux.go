//go:build unix && !linux

package postgres

import "syscall"

// dieWithParent does nothing: only Linux can tie a child to its parent's life.
// A server that outlives a kill -9 here is reported by the next Start.
func dieWithParent(*syscall.SysProcAttr) {}
