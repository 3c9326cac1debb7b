//go:build unix

package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// maxSocketPath is the longest path a Unix socket may have here: 107 bytes on
// Linux, 103 on macOS and the BSDs.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

const (
	signalFast      = syscall.SIGINT  // end transactions, checkpoint, exit
	signalImmediate = syscall.SIGQUIT // exit at once, recover at the next start
)

// account is the user the server runs as. PostgreSQL refuses to run as root.
type account struct {
	name     string
	uid, gid uint32
	switches bool // this process is root and must change user for the server
}

// serverAccount is the current user, or, for root, postgres or nobody.
func serverAccount() (account, error) {
	if uid := os.Geteuid(); uid != 0 {
		return account{name: "user " + strconv.Itoa(uid), uid: uint32(uid), gid: uint32(os.Getegid())}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return account{}, fmt.Errorf("look up user %s: %w", name, err)
		}
		return account{name: name, uid: uint32(uid), gid: uint32(gid), switches: true}, nil
	}
	return account{}, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as: " +
		"create one (useradd --system postgres) or run as an ordinary user")
}

// prepare makes cmd run as the account and, where the system can, die with us.
func (a account) prepare(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if a.switches {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	// A group of its own: Ctrl-C in a terminal must reach us alone, and we stop
	// the server once its clients are done.
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr)
}

// give hands path to the account.
func (a account) give(path string) error {
	if !a.switches {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

func (a account) owns(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == a.uid
}

// lockFile takes an exclusive lock that the kernel drops when the file is closed
// or this process ends. It reports false when another process holds it.
func lockFile(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// alive is false for a zombie too: where process 1 reaps nobody, as in many
// containers, the dead stay listed.
func alive(pid int) bool {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // "1 (name) Z …"; nothing off Linux
	if _, state, ok := strings.Cut(string(stat), ") "); ok && strings.HasPrefix(state, "Z") {
		return false
	}
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// commandOf names the program that runs as pid, or returns "" when it cannot tell.
func commandOf(pid int) string {
	if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil {
		return strings.TrimSpace(string(comm))
	}
	out, _ := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output() // no ps: cannot tell
	return strings.TrimSpace(string(out))
}

// workingDir of pid, or "" when it cannot tell.
func workingDir(pid int) string {
	dir, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)) // not Linux, or not ours: cannot tell
	return dir
}
