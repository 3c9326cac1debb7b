package migrations

import (
	"fmt"
	"strings"
)

// Digest is an SQL expression: what a function p (of pg_proc) does, as one hash. It
// avoids pg_get_functiondef, whose layout may change with Postgres's version.
const Digest = `md5(concat_ws('|', p.prosrc, p.proconfig::text, p.prosecdef, p.provolatile, p.proisstrict, p.proleakproof,
    p.proparallel, p.procost, p.prorows, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)))`

// Script is the SQL that brings types, functions and views of the schema to what objects
// are, and records them as those of stamp. It is one transaction's: the caller begins and
// commits it. Only what is missing, was changed by hand, or has another hash is replaced.
func Script(objects []Object, stamp int64) string {
	var b strings.Builder
	before, after, _ := strings.Cut(strings.ReplaceAll(applySQL, "{{digest}}", Digest), "{{objects}}\n")
	b.WriteString(before)
	fmt.Fprintf(&b, "INSERT INTO penstock.schema_incoming (stamp, place, kind, signature, file, hash, comment, source) VALUES\n")
	for i, o := range objects {
		end := ","
		if i == len(objects)-1 {
			end = ";"
		}
		fmt.Fprintf(&b, "(%d, %d, '%s', %s, '%s', '%s', %s, $object$\n%s\n$object$)%s\n\n",
			stamp, i+1, o.Kind, literal(o.Signature), o.File, o.Hash, literal(o.Comment), o.Source, end)
	}
	b.WriteString(after)
	return b.String()
}

// RemoveScript is the SQL that drops every type, function and view that stamps applied.
func RemoveScript() string { return removeSQL }

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
