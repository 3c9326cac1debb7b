//go:build unix

package demo

import (
	"os"

	"golang.org/x/sys/unix"
)

// TerminalWidth returns what measures the terminal behind f, for Options.Width, or nil
// when f is no terminal or one that cannot redraw a line (TERM=dumb).
func TerminalWidth(f *os.File) func() int {
	measure := func() (int, error) {
		size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			return 0, err
		}
		return int(size.Col), nil
	}
	if _, err := measure(); err != nil || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return func() int {
		if width, err := measure(); err == nil && width > 0 {
			return width
		}
		return 80 // a serial line knows no size
	}
}
