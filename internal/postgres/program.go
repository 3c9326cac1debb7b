package postgres

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Program is one that runs beside a server: a standby of it, a pooler before it.
type Program struct{ process *process }

// Run starts a program as the account that the server runs as; on Linux it ends with
// this process. A name without a slash is one of the server's own programs, such as
// pg_basebackup. What it prints goes to Dir, under its name and .log.
func (s *Server) Run(program string, args ...string) (*Program, error) {
	path := program
	if !strings.Contains(program, "/") {
		path = s.binaries.path(program)
	}
	log, err := openServerLog(filepath.Join(s.dir.path, filepath.Base(program)+".log"), nil)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = s.dir.path, serverEnv()
	s.dir.account.prepare(cmd)
	p, err := runProcess(cmd, log)
	if err != nil {
		return nil, err
	}
	return &Program{p}, nil
}

// Wait returns when the program has ended: nil if it succeeded, else an error with the
// end of what it printed.
func (p *Program) Wait(ctx context.Context) error {
	select {
	case <-p.process.exited:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if p.process.err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(p.process.cmd.Path), p.process.err, p.process.log.tail())
	}
	return nil
}

// Stop ends the program at once and returns when it is gone.
func (p *Program) Stop() { p.process.kill() }

// Give hands a file or directory to the account that the server runs as.
func (s *Server) Give(path string) error { return s.dir.account.give(path) }
