package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

// errDeclined is the error of a command whose user answered no.
var errDeclined = errors.New("not confirmed: nothing was changed")

// confirm returns nil when the user agrees to a command that destroys or changes many: by
// --yes, or by an answer on a terminal. What ends a sentence: "purge 3 dead jobs".
func confirm(ctx context.Context, d *deps, cmd *cobra.Command, yes bool, what string) error {
	if yes {
		return nil
	}
	if !d.Asks {
		return command.Usagef("%s: this would %s: add --yes to do it", command.Path(cmd), what)
	}
	agreed, err := terminal.Confirm(ctx, d.Stdin, d.Stderr, d.ErrScreen, capital(what)+"?")
	if err == nil && !agreed {
		err = errDeclined
	}
	return err
}

// capital makes the first letter a capital.
func capital(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
