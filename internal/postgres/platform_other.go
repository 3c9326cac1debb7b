//go:build !unix

package postgres

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

const (
	maxSocketPath   = 107
	signalFast      = syscall.SIGINT
	signalImmediate = syscall.SIGQUIT
)

var errNoUnix = errors.New("the embedded server needs a Unix system: point DATABASE_URL at a PostgreSQL server")

type account struct {
	name     string
	switches bool
}

func serverAccount() (account, error) { return account{}, errNoUnix }
func (account) prepare(*exec.Cmd)     {}
func (account) give(string) error     { return nil }
func (account) owns(os.FileInfo) bool { return true }
func lockFile(*os.File) (bool, error) { return false, errNoUnix }
func alive(int) bool                  { return false }
func commandOf(int) string            { return "" }
func workingDir(int) string           { return "" }
