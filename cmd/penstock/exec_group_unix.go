//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// ownGroup starts the command as the leader of a new process group.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithUs(cmd.SysProcAttr)
}

// terminateGroup asks everything in the group to end. An error means that nothing is
// left to ask.
func terminateGroup(group int) { _ = syscall.Kill(-group, syscall.SIGTERM) }

// killGroup ends everything in the group that is left.
func killGroup(group int) { _ = syscall.Kill(-group, syscall.SIGKILL) }
