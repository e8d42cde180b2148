//go:build race

package frames

// underRace: sync.Pool drops a part of what it is given, at random.
const underRace = true
