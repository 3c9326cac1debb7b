package postgres

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASecondServerOnADirectoryIsRefused(t *testing.T) {
	t.Parallel()
	s := startIn(t, newDir(t))
	_, err := Start(t.Context(), Options{Dir: s.Dir()})
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorContains(t, err, strconv.Itoa(os.Getpid()))
	require.ErrorContains(t, err, "DATABASE_URL='"+s.URL("postgres")+"'")
	require.Equal(t, 1, query[int](t, connect(t, s.URL("postgres")), "SELECT 1"), "the first is unharmed")
}

func TestAServerThatSomeoneElseRunsThereIsRefused(t *testing.T) {
	t.Parallel()
	s := startIn(t, newDir(t))
	require.NoError(t, s.dir.lock.Close()) // now nothing but postmaster.pid tells of it
	_, err := Start(t.Context(), Options{Dir: s.Dir()})
	s.dir.lock = nil
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorContains(t, err, "kill -INT "+strconv.Itoa(s.PID()))
}

func TestAPIDFileOfACrashedServer(t *testing.T) {
	sleeper := exec.Command("sleep", "600")
	require.NoError(t, sleeper.Start())
	t.Cleanup(func() {
		require.NoError(t, sleeper.Process.Kill())
		_ = sleeper.Wait() // killed
	})
	gone := exec.Command("true")
	require.NoError(t, gone.Run())

	for _, c := range []struct {
		name, text string
		refused    error
		remedy     string
	}{
		{"whose process is gone is cleaned up", strconv.Itoa(gone.Process.Pid), nil, ""},
		{"whose number another program has is the operator's to delete", strconv.Itoa(sleeper.Process.Pid), ErrStalePID, `is now "sleep"`},
		{"whose number another cluster's server has is the operator's to delete", strconv.Itoa(testServer.PID()), ErrStalePID, "run `rm "},
		{"that is damaged is the operator's to delete", "", ErrStalePID, "run `rm "},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startIn(t, newDir(t))
			s.Crash()
			require.NoError(t, s.dir.lock.Close())
			s.dir.lock = nil
			path := filepath.Join(s.dir.data(), "postmaster.pid")
			require.NoError(t, os.WriteFile(path, []byte(c.text+"\n"+s.dir.data()+"\n1700000000\n5432\n"), 0o600))
			require.NoError(t, s.dir.account.give(path))

			again, err := Start(t.Context(), Options{Dir: s.Dir()})
			if c.refused == nil {
				require.NoError(t, err)
				require.NoError(t, again.Stop(t.Context()))
				return
			}
			require.ErrorIs(t, err, c.refused)
			require.ErrorContains(t, err, c.remedy)
			require.ErrorContains(t, err, "rm "+path)
		})
	}
}

func TestADirectoryThatCannotHoldTheDataIsRefused(t *testing.T) {
	t.Parallel()
	a, err := serverAccount()
	require.NoError(t, err)
	with := func(file, text string) string {
		dir := newDir(t)
		for _, path := range []string{filepath.Join(dir, "data"), filepath.Join(dir, "data", file)} {
			if filepath.Base(path) == "data" {
				require.NoError(t, os.Mkdir(path, 0o700))
			} else {
				require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			}
			require.NoError(t, a.give(path))
		}
		return dir
	}
	for _, c := range []struct {
		name, dir string
		refused   error
		remedy    string
	}{
		{"because it may not be made", "/proc/penstock", ErrDirectory, "choose another directory"},
		{"because it belongs to someone else", "/usr", ErrDirectory, "chown -R"},
		{"because it holds something else", with("diary.txt", "dear diary"), ErrDirectory, "move it away"},
		{"because another major version wrote it", with("PG_VERSION", "9\n"), ErrOtherMajor, "install PostgreSQL 9"},
		{"because its version is unreadable", with("PG_VERSION", "nine\n"), ErrDirectory, "move the directory away"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Start(t.Context(), Options{Dir: c.dir})
			require.ErrorIs(t, err, c.refused)
			require.ErrorContains(t, err, c.remedy)
		})
	}
}

func TestRootIsToldWhereItsServerCanReach(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("an ordinary user's server reaches what the user reaches")
	}
	t.Parallel()
	closed := t.TempDir() // 0755 below a directory that only root may pass
	require.NoError(t, os.Chmod(closed, 0o700))
	_, err := Start(t.Context(), Options{Dir: filepath.Join(closed, "pg")})
	require.ErrorContains(t, err, "choose one below "+rootDir)
}

func TestAMachineWithoutPostgresIsToldWhatToInstall(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Options{Temporary: true, Binaries: t.TempDir()})
	require.ErrorIs(t, err, ErrNoBinaries)
	require.ErrorContains(t, err, "apt-get install postgresql")
	require.ErrorContains(t, err, "brew install postgresql@17")
}

// install makes a directory that looks like an installation of the version.
func install(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
	for _, name := range []string{"postgres", "initdb"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
	}
	return dir
}

func TestBinariesAreChosenByWhatTheDataNeeds(t *testing.T) {
	for _, c := range []struct {
		name, installed string
		major           int
		chosen          string
		refused         error
	}{
		{"any supported version makes new data", "17.2 (Debian 17.2-1)", 0, "17.2", nil},
		{"a beta is its major version", "19beta1", 0, "19beta1", nil},
		{"one too old is refused", "14.9", 0, "", ErrNoBinaries},
		{"data takes its own major version", "15.1", 15, "15.1", nil},
		{"data of a newer version is refused", "15.1", 17, "", ErrOtherMajor},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := findBinaries(install(t, c.installed), c.major)
			require.ErrorIs(t, err, c.refused)
			require.Equal(t, c.chosen, b.version)
		})
	}
}

func TestBinariesAreSearchedInPathFirstThenNewestFirst(t *testing.T) {
	root := t.TempDir()
	old := binaryPlaces
	t.Cleanup(func() { binaryPlaces = old })
	binaryPlaces = []string{filepath.Join(root, "*", "bin")}
	for major, version := range map[string]string{"9": "9.6", "15": "15.3", "16": "16.1"} {
		dir := filepath.Join(root, major)
		require.NoError(t, os.Mkdir(dir, 0o755))
		require.NoError(t, os.Rename(install(t, version), filepath.Join(dir, "bin")))
	}
	first := install(t, "15.9")
	linked := t.TempDir() // a link in PATH leads to its installation
	require.NoError(t, os.Symlink(filepath.Join(first, "postgres"), filepath.Join(linked, "postgres")))

	t.Setenv("PATH", linked)
	real, err := filepath.EvalSymlinks(first)
	require.NoError(t, err)
	require.Equal(t, real, binaryDirs()[0])
	require.Equal(t, []string{"16", "15", "9"}, func() (majors []string) {
		for _, dir := range binaryDirs()[1:] {
			majors = append(majors, filepath.Base(filepath.Dir(dir)))
		}
		return majors
	}())
}
