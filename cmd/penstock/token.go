package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

func newToken(d *deps) *cobra.Command {
	return command.Group("token", "Make, list, rotate and revoke tokens of the HTTP API",
		newTokenCreate(d), newTokenList(d), newTokenRotate(d), newTokenRevoke(d))
}

func newTokenCreate(d *deps) *cobra.Command {
	token := penstock.NewToken{}
	var role string
	var expires wait
	cmd := &cobra.Command{
		Use:   "create NAME --role ROLE",
		Short: "Make a token, and show it this once",
		Long: `Make a token, and show it this once: only a digest of it is kept. stdout is the token
and nothing else.

  reader    looks at counts, times, jobs, errors and settings
  producer  enqueues, and follows jobs
  worker    claims and finishes jobs
  operator  all of these, and changes jobs, queues and policies
  admin     all of these, and tokens and the audit log`,
		Example: `  penstock token create shop --role producer --queue mail --queue 'billing.*'
  penstock token create root --role admin --expires-in 90d`,
		Args: command.Arguments,
	}
	cmd.Flags().StringVar(&role, "role", "", "reader, producer, worker, operator or admin")
	cmd.Flags().StringArrayVar(&token.Queues, "queue", nil, "a queue it covers, or a beginning of names and a *; may be repeated; without it every queue")
	cmd.Flags().Var(&expires, "expires-in", "how long it lives, a minute to 10 years; for ever without it")
	completeFlag(cmd, "role", fixed("reader", "producer", "worker", "operator", "admin"))
	completeFlag(cmd, "queue", d.queueNames)
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		token.Name, token.Role, token.ExpiresIn = args[0], penstock.TokenRole(role), time.Duration(expires)
		issued, err := client.Tokens.Create(ctx, token)
		if err != nil {
			return err
		}
		return showToken(ctx, d, client, issued, asJSON, "")
	})
}

// showToken writes the secret to stdout and what it is for to stderr, so that a script
// gets the one and a person sees both.
func showToken(ctx context.Context, d *deps, client *penstock.Client, issued penstock.IssuedToken, asJSON bool, more string) error {
	all, err := client.Tokens.List(ctx)
	if err != nil {
		return err
	}
	token, err := pickToken(all.Tokens, issued.ID)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(d.Stdout, struct {
			penstock.Token
			Secret string `json:"token"`
		}{token, issued.Text})
	}
	fmt.Fprintf(d.Stderr, "%s is %s %s.%s\nIt is shown this once; send it as the header Authorization: Bearer TOKEN\n\n",
		d.ErrScreen.Paint(terminal.Bold, terminal.Plain(token.Name)), article(string(token.Role)), scope(token), more)
	_, err = fmt.Fprintln(d.Stdout, issued.Text)
	return err
}

func article(role string) string {
	if strings.ContainsRune("aeiou", rune(role[0])) {
		return "an " + role
	}
	return "a " + role
}

// scope says where and how long a token is good.
func scope(t penstock.Token) string {
	where := "of every queue"
	if len(t.Queues) > 0 {
		where = "of " + terminal.Plain(strings.Join(t.Queues, ", "))
	}
	if t.ExpiresAt != nil {
		where += " until " + t.ExpiresAt.Format(time.RFC3339)
	}
	return where
}

// pickToken finds a token by its id, or by its name if it is not revoked.
func pickToken(tokens []penstock.Token, named string) (penstock.Token, error) {
	for _, t := range tokens {
		if t.ID == named || t.Name == named && t.RevokedAt == nil {
			return t, nil
		}
	}
	return penstock.Token{}, penstock.ErrTokenNotFound
}

func newTokenList(d *deps) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the tokens, the newest first; their secrets nobody knows", Args: command.Arguments}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, _ []string, asJSON bool) error {
		all, err := client.Tokens.List(ctx)
		if err != nil {
			return err
		}
		return writeTokens(d.Stdout, d.Screen, all.Tokens, all.Now, asJSON)
	})
}

func writeTokens(out io.Writer, s terminal.Screen, tokens []penstock.Token, now time.Time, asJSON bool) error {
	if asJSON {
		return writeItems(out, tokens, "")
	}
	if len(tokens) == 0 {
		_, err := fmt.Fprintln(out, "There are no tokens. `penstock token create NAME --role admin` makes the first.")
		return err
	}
	list := terminal.Table{Heads: []string{"NAME", "ID", "ROLE", "STATE", "LAST USED", "QUEUES"}}
	for _, t := range tokens {
		used := "never"
		if t.LastUsedAt != nil {
			used = terminal.Ago(*t.LastUsedAt, now)
		}
		queues := "every queue"
		if len(t.Queues) > 0 {
			queues = strings.Join(t.Queues, ", ")
		}
		list.Add(terminal.Text(t.Name), terminal.Key(t.ID), terminal.Text(string(t.Role)), tokenState(t, now), terminal.Dimmed(used), terminal.Text(queues))
	}
	return list.Write(out, s)
}

func tokenState(t penstock.Token, now time.Time) terminal.Cell {
	switch {
	case t.RevokedAt != nil:
		return terminal.Cell{Text: "revoked " + terminal.Ago(*t.RevokedAt, now), Colour: terminal.Faint}
	case t.ExpiresAt != nil && !now.Before(*t.ExpiresAt):
		return terminal.Cell{Text: "expired " + terminal.Ago(*t.ExpiresAt, now), Colour: terminal.Red}
	case t.OldSecretUntil != nil && now.Before(*t.OldSecretUntil):
		return terminal.Cell{Text: "rotating, two secrets for " + terminal.Exact(t.OldSecretUntil.Sub(now).Round(time.Minute)), Colour: terminal.Yellow}
	case t.ExpiresAt != nil:
		return terminal.Cell{Text: "live for " + terminal.Exact(t.ExpiresAt.Sub(now).Round(time.Minute)), Colour: terminal.Green}
	}
	return terminal.Cell{Text: "live", Colour: terminal.Green}
}

func newTokenRotate(d *deps) *cobra.Command {
	overlap := wait(24 * time.Hour)
	cmd := &cobra.Command{
		Use: "rotate NAME|ID", Short: "Give a token a new secret; the old one works for a while longer",
		Example: "  penstock token rotate shop\n  penstock token rotate shop --overlap 0s",
		Args:    command.Arguments, ValidArgsFunction: inOrder(d.tokenNames),
	}
	cmd.Flags().Var(&overlap, "overlap", "how long the old secret works, up to 90 days")
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		all, err := client.Tokens.List(ctx)
		if err != nil {
			return err
		}
		token, err := pickToken(all.Tokens, args[0])
		if err != nil {
			return err
		}
		issued, err := client.Tokens.Rotate(ctx, token.ID, time.Duration(overlap))
		if err != nil {
			return err
		}
		more := " The old secret works no more."
		if overlap > 0 {
			more = fmt.Sprintf(" The old secret works for %s more.", terminal.Exact(time.Duration(overlap)))
		}
		return showToken(ctx, d, client, issued, asJSON, more)
	})
}

func newTokenRevoke(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke NAME|ID", Short: "End a token for good: within 5 s no server takes it",
		Args: command.Arguments, ValidArgsFunction: inOrder(d.tokenNames),
	}
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		all, err := client.Tokens.List(ctx)
		if err != nil {
			return err
		}
		token, err := pickToken(all.Tokens, args[0])
		if err != nil {
			return err
		}
		if err := confirm(ctx, d, cmd, *yes, fmt.Sprintf("revoke %s, %s %s", terminal.Plain(token.Name), article(string(token.Role)), scope(token))); err != nil {
			return err
		}
		if err := client.Tokens.Revoke(ctx, token.ID); err != nil {
			return err
		}
		if asJSON {
			return terminal.WriteJSON(d.Stdout, struct {
				ID      string `json:"id"`
				Revoked bool   `json:"revoked"`
			}{token.ID, true})
		}
		_, err = fmt.Fprintf(d.Stdout, "%s is revoked; within 5 s no server takes it.\n", terminal.Plain(token.Name))
		return err
	})
}

func (d *deps) tokenNames(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return d.fromDatabase(func(ctx context.Context, client *penstock.Client, _ []string) (names []cobra.Completion, err error) {
		all, err := client.Tokens.List(ctx)
		for _, t := range all.Tokens {
			if t.RevokedAt == nil {
				names = append(names, cobra.CompletionWithDesc(terminal.Plain(t.Name), string(t.Role)+" "+scope(t)))
			}
		}
		return names, err
	})(cmd, args, begun)
}
