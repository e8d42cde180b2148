//go:build !race

package frames

const underRace = false
