package db

// Each gives f every group's answer, in the order of the groups, and returns what
// closing the batch says: the ids come before the commit, which can still fail, and
// nothing else tells. QueryRow closes the batch too but keeps that to itself, and a
// second Close would touch a connection that is the pool's again, and perhaps another
// caller's.
func (b *EnqueueGroupsBatchResults) Each(f func(group int, ids []int64, err error)) error {
	for n := range b.tot {
		var ids []int64
		err := b.br.QueryRow().Scan(&ids)
		f(n, ids, err)
	}
	return b.Close()
}
