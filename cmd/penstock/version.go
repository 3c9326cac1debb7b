package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/postgres"
	"github.com/penstock/penstock/internal/terminal"
)

type versionInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	System  string `json:"system"`
	Schema  int64  `json:"schema"` // the newest migration this binary has
}

func newVersion(d *deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary and the schema it brings",
		Args:  command.Arguments,
		RunE:  func(*cobra.Command, []string) error { return runVersion(d.Stdout, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func runVersion(out io.Writer, asJSON bool) error {
	newest, err := postgres.Newest()
	if err != nil {
		return err
	}
	v := versionInfo{
		Version: command.Version(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, Schema: newest,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Commit = s.Value
			}
		}
	}
	if asJSON {
		return terminal.WriteJSON(out, v)
	}
	_, err = fmt.Fprintf(out, "penstock %s (schema %d, %s, %s)\n", v.Version, v.Schema, v.Go, v.System)
	return err
}
