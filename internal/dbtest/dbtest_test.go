package dbtest

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { Main(m) }

func TestEveryTestHasADatabaseOfItsOwn(t *testing.T) {
	ctx := context.Background()
	a, b := New(t), New(t)
	_, err := a.Pool.Exec(ctx, "CREATE TABLE mine (x int)")
	require.NoError(t, err)
	_, err = b.Pool.Exec(ctx, "CREATE TABLE mine (x int)")
	require.NoError(t, err, "b sees none of a's tables")
	require.NotEqual(t, a.Name, b.Name)
}

func TestACloneHasTheMigratedSchema(t *testing.T) {
	var jobs bool
	require.NoError(t, New(t).Pool.QueryRow(context.Background(), "SELECT to_regclass('penstock.jobs') IS NOT NULL").Scan(&jobs))
	require.True(t, jobs)
}

func BenchmarkNew(b *testing.B) {
	New(b)
	b.ResetTimer()
	for b.Loop() {
		New(b)
	}
}

var _ sync.Mutex
// x
