//go:build !failpoint

package failpoint

import "github.com/penstock/penstock/db"

// Enabled reports whether this build has failpoints.
const Enabled = false

// Wrap returns d.
func Wrap(d db.DBTX) db.DBTX { return d }
