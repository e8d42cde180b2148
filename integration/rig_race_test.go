//go:build race

package integration

// buildFlags builds the gateway as the tests were built.
var buildFlags = []string{"-race"}
