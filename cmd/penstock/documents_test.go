package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/documents"
)

func TestEveryCommandInADocumentExists(t *testing.T) {
	all, err := documents.Read(os.DirFS("../.."))
	require.NoError(t, err)
	mentions := documents.Mentions(all, "penstock")
	require.Greater(t, len(mentions), 30)
	for _, m := range mentions {
		root := newRoot(&deps{})
		root.InitDefaultHelpCmd()
		root.InitDefaultCompletionCmd()
		checkMention(t, root, m)
	}
}

// checkMention follows the words down the tree of commands and looks up each flag.
// Words in capitals, and arguments of a command without members, may be anything.
func checkMention(t *testing.T, at *cobra.Command, m documents.Mention) {
	t.Helper()
	value := false // the word is a flag's value
	for _, word := range m.Words {
		name, isFlag := strings.CutPrefix(word, "--")
		switch {
		case value:
			value = false
		case isFlag:
			name, _, joined := strings.Cut(name, "=")
			at.InitDefaultHelpFlag()
			flag := at.Flag(strings.TrimRight(name, ".,]…"))
			if flag == nil {
				t.Errorf("%s: %s has no flag --%s", m.Where, at.CommandPath(), name)
				return
			}
			value = !joined && flag.NoOptDefVal == ""
		case at.HasSubCommands():
			next := member(at, word)
			if next == nil && word != "…" && !takes(at, word) {
				t.Errorf("%s: %s has no command %q", m.Where, at.CommandPath(), word)
			}
			if next == nil {
				return
			}
			at = next
		}
	}
}

// takes says whether the command itself has a use for the word, beside its members.
func takes(c *cobra.Command, word string) bool {
	return c.Args != nil && c.Args(c, []string{word}) == nil
}

func member(of *cobra.Command, name string) *cobra.Command {
	for _, c := range of.Commands() {
		if c.Name() == name || c.HasAlias(name) {
			return c
		}
	}
	return nil
}
