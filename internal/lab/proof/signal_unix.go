//go:build unix

package proof

import (
	"os"
	"syscall"
)

func signalFreeze(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

func signalThaw(p *os.Process) error { return p.Signal(syscall.SIGCONT) }
