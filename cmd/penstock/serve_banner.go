package main

import (
	"context"
	"fmt"

	"github.com/penstock/penstock/internal/server"
	"github.com/penstock/penstock/internal/terminal"
)

// writeBanner prints where the server is, which database it uses, and what to type next.
func writeBanner(ctx context.Context, d *deps, s *server.Server) error {
	out := d.Stdout
	if err := s.WriteAbout(ctx, out, d.Screen); err != nil {
		return err
	}
	me := d.Program
	next := [][2]string{
		{"add a job", me + ` enqueue hello greet '{"name":"world"}'`},
		{"run a command for it", me + " work --queue hello --drain -- cat"},
		{"see the job", me + " job get ID"},
	}
	if s.URL != "" {
		next = append(next, [2]string{"check the server", "curl " + s.URL + "/healthz"})
	}
	if setup := s.Setup(); setup != "" {
		next = append([][2]string{{"how the commands find this server", setup}}, next...)
	}
	if url := s.PsqlURL(); url != "" {
		next = append(next, [2]string{"the same in SQL", "psql " + url + ` -c "SELECT penstock.enqueue('hello', 'greet')"`})
	}
	fmt.Fprintln(out, "\nWhat to type next, in another terminal:")
	for _, line := range next {
		fmt.Fprintf(out, "  %s\n  %s\n", d.Screen.Paint(terminal.Faint, "# "+line[0]), line[1])
	}
	_, err := fmt.Fprintln(out, "\nctrl-C stops the server. The jobs stay in the database.")
	return err
}
