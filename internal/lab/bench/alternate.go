package bench

import "slices"

// alternate measures two ways of doing the same in pairs, and returns the ratios of the
// second to the first in ascending order. Pairs, because a machine has slow moments.
// The order changes from pair to pair, because the first finds cleaner tables.
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

// median returns the middle of sorted figures. REQUIRES: at least one.
func median(sorted []float64) float64 {
	return mean(sorted[(len(sorted)-1)/2], sorted[len(sorted)/2])
}
