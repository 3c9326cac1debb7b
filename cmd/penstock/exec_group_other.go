//go:build !unix

package main

import (
	"os"
	"os/exec"
)

// Without process groups a command is stopped alone, and at once.

func ownGroup(*exec.Cmd) {}

func terminateGroup(leader int) { killGroup(leader) }

func killGroup(leader int) {
	if p, err := os.FindProcess(leader); err == nil {
		_ = p.Kill()
	}
}
