// Package command is what the programs penstock and penstock-lab share: their process (streams,
// environment, signals), settings, logger, connection to the database, and the one place where
// errors become exit codes and advice.
package command
