//go:build unix

package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

// Width is the terminal's columns; 0 when they are not known.
func Width(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}
