package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Arguments holds a command's arguments to its Use line, such as "enqueue QUEUE NAME [DATA|-]":
// words in capitals must be given, those in brackets may be. No argument may be empty: an unset
// shell variable must not choose everything.
func Arguments(cmd *cobra.Command, args []string) error {
	required, optional := argumentNames(cmd.Use)
	name := Path(cmd)
	switch most := len(required) + len(optional); {
	case len(args) < len(required):
		missing := required[len(args):]
		are := "is"
		if len(missing) > 1 {
			are = "are"
		}
		return fmt.Errorf("%s: %s %s missing: %s", name, strings.Join(missing, " and "), are, usageLine(cmd))
	case len(args) > most && most == 0:
		return fmt.Errorf("%s takes no arguments, got %q", name, args[0])
	case len(args) > most:
		return fmt.Errorf("%s: %q is one argument too many: %s", name, args[most], usageLine(cmd))
	case slices.Contains(args, ""):
		return fmt.Errorf("%s: an argument is empty; leave out a queue to mean every queue", name)
	}
	return nil
}

// argumentNames are the positional arguments of a Use line. They end at the first flag.
func argumentNames(use string) (required, optional []string) {
	for _, word := range strings.Fields(use)[1:] {
		switch {
		case strings.HasPrefix(word, "--") || word == "|":
			return required, optional
		case strings.HasPrefix(word, "[--"):
		case strings.HasPrefix(word, "["):
			optional = append(optional, strings.Trim(word, "[]"))
		default:
			required = append(required, word)
		}
	}
	return required, optional
}

// Path is the command as an error begins with it: "dlq redrive".
func Path(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// usageLine is how the command is typed.
func usageLine(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return cmd.Use
	}
	return cmd.Parent().CommandPath() + " " + cmd.Use
}

// Member refuses the name of a command that the group does not have, and names those that look
// like it.
func Member(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	const similar = 2 // letters may differ
	cmd.SuggestionsMinimumDistance = similar
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if close := cmd.SuggestionsFor(args[0]); len(close) > 0 {
		slices.Sort(close)
		text += ": did you mean " + strings.Join(close, " or ") + "?"
	}
	return UsageError{error: fmt.Errorf("%s", text), unread: true}
}
