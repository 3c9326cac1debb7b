package proof

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// smallDisk mounts a file system of so many bytes.
func smallDisk(size string) (dir string, unmount func(), err error) {
	if os.Geteuid() != 0 {
		return "", nil, errors.New("only root may mount a small file system")
	}
	if dir, err = os.MkdirTemp("", "penstock-disk-"); err != nil {
		return "", nil, err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=755,size="+size); err != nil {
		_ = os.Remove(dir)
		return "", nil, fmt.Errorf("this machine does not allow mounting a file system (%w)", err)
	}
	return dir, func() {
		_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		_ = os.Remove(dir)
	}, nil
}
