package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// errDeclined is the end of a command whose user answered no.
var errDeclined = errors.New("not confirmed: nothing was changed")

// sure returns nil when the user wants what destroys or touches many: by --yes, or by
// an answer where somebody can be asked. What is a sentence's middle: "purge 3 dead jobs".
func sure(ctx context.Context, d *deps, cmd *cobra.Command, yes bool, what string) error {
	if yes {
		return nil
	}
	if !d.asks {
		return usagef("%s: this would %s: add --yes to do it", verb(cmd), what)
	}
	fmt.Fprintf(d.stderr, "%s [y/N] ", d.errScreen.paint(bold, capital(what)+"?"))
	answer := make(chan string, 1)
	go func() { // it outlives ctx only when the process is about to end
		line, _ := bufio.NewReader(d.stdin).ReadString('\n') // the end of input is no
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case said := <-answer:
		if said == "y" || said == "yes" {
			return nil
		}
		return errDeclined
	case <-ctx.Done():
		return ctx.Err()
	}
}

// capital is a sentence's first letter.
func capital(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
