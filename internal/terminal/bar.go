package terminal

import (
	"fmt"
	"io"
	"strings"
)

// ClearLine takes the bar away, for what is printed next.
const ClearLine = "\r\x1b[K"

// Bar is the line on a terminal that shows how far a run is.
type Bar struct {
	Out    io.Writer
	Screen Screen
}

const barWidth = 24

// Show draws how many of total are done; a total of 0 is not known and draws no bar.
func (b *Bar) Show(done, total int64, stage string) {
	line := stage
	if total > 0 {
		full := int(min(done, total) * barWidth / total)
		line = fmt.Sprintf("%s%s %3d%%  %s", strings.Repeat("█", full), strings.Repeat("░", barWidth-full),
			min(done, total)*100/total, stage)
	}
	if b.Screen.Width > 0 {
		line = Clip(line, b.Screen.Width-1) // a terminal wraps when the last cell is written
	}
	fmt.Fprint(b.Out, "\r"+line+"\x1b[K")
}
