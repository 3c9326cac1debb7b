package command

import (
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

func TestArgumentsAreHeldToTheUseLine(t *testing.T) {
	for _, c := range []struct {
		name, use string
		args      []string
		says      string
	}{
		{"all that is needed", "enqueue QUEUE NAME [DATA|-]", []string{"q", "n"}, ""},
		{"all that may be given", "enqueue QUEUE NAME [DATA|-]", []string{"q", "n", "{}"}, ""},
		{"one is missing", "enqueue QUEUE NAME [DATA|-]", []string{"q"}, "enqueue: NAME is missing: penstock enqueue QUEUE NAME [DATA|-]"},
		{"two are missing", "enqueue QUEUE NAME [DATA|-]", nil, "enqueue: QUEUE and NAME are missing: penstock enqueue QUEUE NAME [DATA|-]"},
		{"one too many", "pause QUEUE", []string{"a", "b"}, `pause: "b" is one argument too many: penstock pause QUEUE`},
		{"none is taken", "version", []string{"a"}, `version takes no arguments, got "a"`},
		{"an empty one", "list [QUEUE]", []string{""}, "list: an argument is empty; leave out a queue to mean every queue"},
		{"flags are no arguments", "grants ROLE --as producer|worker", []string{"app"}, ""},
		{"an optional one before flags", "cancel [ID] --queue QUEUE", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, cmd := &cobra.Command{Use: "penstock"}, &cobra.Command{Use: c.use}
			root.AddCommand(cmd)
			err := Arguments(cmd, c.args)
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, c.says)
		})
	}
}

func TestAWrongCommandGetsASuggestion(t *testing.T) {
	run := func(*cobra.Command, []string) {}
	root := &cobra.Command{Use: "penstock"}
	root.AddCommand(&cobra.Command{Use: "enqueue", Run: run}, &cobra.Command{Use: "queue", Run: run})
	require.EqualError(t, Member(root, []string{"enqeue"}), `unknown command "enqeue" for "penstock": did you mean enqueue?`)
	require.EqualError(t, Member(root, []string{"fly"}), `unknown command "fly" for "penstock"`)
	require.NoError(t, Member(root, nil))
}
