package bench

import "slices"

// inTurns measures two ways of doing the same in pairs and returns what the second did
// of the first, in ascending order. Who goes first changes from pair to pair, since the
// first has the cleaner tables; and pairs, since a machine has slow moments.
func alternate(pairs int, measure func(way int) (float64, error)) (ratios []float64, err error) {
	for pair := range pairs {
		var measured [2]float64
		for i := range measured {
			way := (i + pair) % 2
			if measured[way], err = measure(way); err != nil {
				return nil, err
			}
		}
		ratios = append(ratios, measured[1]/measured[0])
	}
	slices.Sort(ratios)
	return ratios, nil
}

// median is the middle of sorted figures, of which there is at least one.
func median(sorted []float64) float64 {
	return mean(sorted[(len(sorted)-1)/2], sorted[len(sorted)/2])
}
