package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

func newAudit(d *deps) *cobra.Command {
	var p paging
	cmd := &cobra.Command{
		Use:   "audit [QUEUE]",
		Short: "List who changed which setting, and what was done to many jobs, the newest first",
		Args:  command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
		PreRunE: func(cmd *cobra.Command, _ []string) error { return p.begin(cmd, d.Now()) },
	}
	p.bind(cmd)
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		page, err := client.Audit.List(ctx, penstock.AuditQuery{Queue: first(args), Limit: p.limit, Cursor: p.cursor})
		if err != nil {
			return err
		}
		return writeAudit(d.Stdout, d, page, asJSON)
	})
}

func writeAudit(out io.Writer, d *deps, page penstock.Page[penstock.AuditLine], asJSON bool) error {
	if asJSON {
		return writeItems(out, page.Items, page.Next)
	}
	if len(page.Items) == 0 {
		_, err := fmt.Fprintln(out, "Nothing was changed yet.")
		return err
	}
	list := terminal.Table{Heads: []string{"WHEN", "WHO", "ACTION", "QUEUE", "CHANGE"}}
	for _, l := range page.Items {
		who := l.Actor
		if l.Actor != l.DBUser {
			who += " (" + l.DBUser + ")"
		}
		list.Add(terminal.Dimmed(terminal.Ago(l.At, d.Now())), terminal.Text(who), terminal.Text(l.Action), terminal.Text(l.Queue), terminal.Text(changeText(l.Before, l.After)))
	}
	if err := list.Write(out, d.Screen); err != nil {
		return err
	}
	return writeNext(out, len(page.Items), page.Next)
}

// changeText is what differs: "paused: false → true"; of what is new or gone, all of it.
func changeText(before, after json.RawMessage) string {
	var was, is map[string]json.RawMessage
	if json.Unmarshal(orNull(before), &was) != nil || json.Unmarshal(orNull(after), &is) != nil {
		return compact(before) + " → " + compact(after) // not objects
	}
	both := maps.Clone(is)
	if both == nil {
		both = map[string]json.RawMessage{}
	}
	maps.Copy(both, was)
	var words []string
	for _, field := range slices.Sorted(maps.Keys(both)) {
		switch old, now := compact(was[field]), compact(is[field]); {
		case old == now || field == "queue":
		case was == nil:
			if now != "null" {
				words = append(words, field+": "+now)
			}
		case is == nil:
			words = append(words, field+": "+old+" → gone")
		default:
			words = append(words, field+": "+old+" → "+now)
		}
	}
	return strings.Join(words, ", ")
}

func orNull(document json.RawMessage) json.RawMessage {
	if len(bytes.TrimSpace(document)) == 0 {
		return json.RawMessage("null")
	}
	return document
}
