package main

import (
	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/command"
)

// deps is what commands get from the process, and what they complete arguments with.
type deps struct{ *command.Process }

func newRoot(d *deps) *cobra.Command {
	root := &cobra.Command{
		Use:   "penstock",
		Short: "A transactional job queue in the PostgreSQL you already run",
		Long: `Penstock queues jobs in PostgreSQL: enqueue them inside your own transactions,
work them in any language, retry them by policy, and look into what died.

Commands use DATABASE_URL. Without it, "penstock serve" starts a private
PostgreSQL, and the other commands talk to that one while it runs.`,
		Args: command.Member,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(
		newServe(d), newWork(d), newTop(d), newEnqueue(d), newJob(d), newDLQ(d),
		newQueue(d), newPolicy(d), newRule(d), newLevel(d), newTag(d), newBreaker(d), newTask(d), newHealth(d), newAudit(d), newToken(d),
		newStats(d), newVerify(d), newImport(d),
		newMigrate(d), newGrants(d), newURL(d), newConfig(d), newDoctor(d), newVersion(d),
	)
	return root
}
