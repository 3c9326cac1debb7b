package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const temporaryPrefix = "penstock-temporary-"

// temporaryDir makes a directory for a cluster that lives as long as its Server. First
// it removes those of processes that were killed before they could.
func temporaryDir(a account, parent string) (string, error) {
	switch {
	case parent != "":
	case !a.switches:
		parent = os.TempDir()
	default:
		parent = rootDir
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return "", fmt.Errorf("%w: %w", ErrDirectory, err)
		}
	}
	sweepTemporary(parent)
	dir, err := os.MkdirTemp(parent, temporaryPrefix)
	if err != nil {
		return "", fmt.Errorf("%w: %w: set TMPDIR to a directory you may write", ErrDirectory, err)
	}
	return dir, nil
}

// sweepTemporary removes temporary clusters whose owner is gone. It spares a
// directory whose lock is held, or not noted yet (its owner notes itself only
// once it holds the lock), or whose server still lives. Failing to remove one is
// no one's concern: the next sweep tries again.
func sweepTemporary(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, temporaryPrefix+"*"))
	for _, path := range dirs {
		d := directory{path: path}
		f, err := os.OpenFile(d.lockPath(), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if owner, _ := readNote(f); owner != 0 {
			free, err := lockFile(f)
			if err == nil && free && !aliveServer(d.data()) {
				_ = os.RemoveAll(path)
			}
		}
		f.Close()
	}
}

func aliveServer(data string) bool {
	pid, err := readPIDFile(data)
	return err == nil && alive(pid) || err != nil && !errors.Is(err, fs.ErrNotExist)
}
