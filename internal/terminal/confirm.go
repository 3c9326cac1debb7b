package terminal

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
)

// Confirm writes the question to out and reports whether the next line of in says yes.
// The end of the input is no. Errors: that of ctx.
func Confirm(ctx context.Context, in io.Reader, out io.Writer, s Screen, question string) (yes bool, err error) {
	fmt.Fprintf(out, "%s [y/N] ", s.Paint(Bold, question))
	answer := make(chan string, 1)
	go func() { // it outlives ctx only when the process is about to end
		line, _ := bufio.NewReader(in).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case word := <-answer:
		return word == "y" || word == "yes", nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
