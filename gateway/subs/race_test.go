//go:build race

package subs

const raceEnabled = true
