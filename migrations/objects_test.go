package migrations

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestTheNewestStampIsOfTheseFiles(t *testing.T) {
	require.NoError(t, CheckStamps(FS), "a function, type or view changed without its stamp")
}

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

const addFunction = `-- Adds two numbers.
-- Both must be given.
CREATE OR REPLACE FUNCTION penstock.add(a int, b float8[] DEFAULT '{1,2}', OUT c text, "position" timestamptz = now())
LANGUAGE sql AS $$ SELECT 'CREATE FUNCTION' $$;
`

func TestAFileIsReadAsObjects(t *testing.T) {
	objects, err := Objects(fstest.MapFS{
		"functions/sums/add.sql": file(addFunction + `
-- Adds nothing.
CREATE OR REPLACE FUNCTION penstock.add() RETURNS void LANGUAGE sql AS $$ SELECT $$;

CREATE OR REPLACE TRIGGER t AFTER INSERT ON penstock.x FOR EACH ROW EXECUTE FUNCTION penstock.add();
`),
		"views/b.sql": file("-- B.\nCREATE OR REPLACE VIEW penstock.b AS SELECT * FROM penstock.c;\n"),
		"views/c.sql": file("-- C.\nCREATE OR REPLACE VIEW penstock.c AS SELECT 1 AS one;\n"),
		"types/d.sql": file("-- D.\nCREATE TYPE penstock.d AS (x int);\n"),
	})
	require.NoError(t, err)
	var signatures []string
	for _, o := range objects {
		signatures = append(signatures, o.Kind+" "+o.Signature)
	}
	require.Equal(t, []string{
		"type penstock.d", "function penstock.add(integer,double precision[],timestamp with time zone)", "function penstock.add()",
		"view penstock.c", "view penstock.b",
	}, signatures, "types, functions, views; a view after those it reads")
	require.Equal(t, "Adds two numbers.\nBoth must be given.", objects[1].Comment)
	require.True(t, strings.HasPrefix(objects[1].Source, "CREATE OR REPLACE FUNCTION"))
	require.Contains(t, objects[2].Source, "CREATE OR REPLACE TRIGGER t", "a trigger belongs to its function")
	require.NotEqual(t, objects[1].Hash, objects[2].Hash)
}

func TestAFileThatBreaksTheLayoutIsRefused(t *testing.T) {
	for _, c := range []struct{ name, path, text, says string }{
		{"a function in a file of another name", "functions/sums/sum.sql", addFunction, "belongs into a file of that name"},
		{"a function without a header", "functions/sums/add.sql", strings.SplitAfterN(addFunction, "\n", 3)[2], "no header comment"},
		{"a file without an object", "functions/sums/add.sql", "SELECT 1;", "no CREATE"},
		{"statements above the first object", "functions/sums/add.sql", "SELECT 1;\n" + addFunction, "text above the header"},
		{"an argument without a name", "functions/sums/add.sql", strings.Replace(addFunction, "a int", "int", 1), "write `name type`"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Objects(fstest.MapFS{c.path: file(c.text)})
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestAChangedFileNeedsAStamp(t *testing.T) {
	files := fstest.MapFS{"functions/sums/add.sql": file(addFunction), StampsFile: file("00002 serves binaries from schema 1 (v0.1.0) unreleased -\n")}
	restamp := func() {
		text, err := Restamp(files, 5)
		require.NoError(t, err)
		files[StampsFile] = file(text)
		require.NoError(t, CheckStamps(files))
	}
	require.ErrorContains(t, CheckStamps(files), "run `make gen`, which writes their hash into it")
	restamp()
	stamps, err := Stamps(files)
	require.NoError(t, err)
	require.Len(t, stamps, 1, "an unreleased stamp gets the new hash")

	released := strings.Replace(string(files[StampsFile].Data), "unreleased", "released", 1)
	files[StampsFile] = file(released)
	require.NoError(t, CheckStamps(files))
	files["functions/sums/add.sql"] = file(strings.Replace(addFunction, "two", "the two", 1))
	require.ErrorContains(t, CheckStamps(files), "which is released: run `make gen`, which adds a stamp")
	restamp()
	require.True(t, strings.HasPrefix(string(files[StampsFile].Data), released), "a released stamp stays as it is")
	stamps, err = Stamps(files)
	require.NoError(t, err)
	require.Equal(t, int64(6), stamps[1].Version, "it follows the newest migration")
	require.Equal(t, "v0.1.0", stamps[1].OldestRelease)
}

func TestAStampThatCannotBeReadIsRefused(t *testing.T) {
	for _, c := range []struct{ name, text, says string }{
		{"without a release", "00002 serves binaries from schema 1 unreleased -", "the form is"},
		{"from the future", "00002 serves binaries from schema 3 (v0.1.0) unreleased -", "do not exist yet"},
		{"out of order", "00004 serves binaries from schema 1 (v0.1.0) released -\n00003 serves binaries from schema 1 (v0.1.0) unreleased -", "must be above 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Stamps(fstest.MapFS{StampsFile: file(c.text)})
			require.ErrorContains(t, err, c.says)
		})
	}
}
