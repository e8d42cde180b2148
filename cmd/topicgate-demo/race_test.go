//go:build race

package main

// buildFlags builds the gateway as the tests were built: its packages are compiled for them anyway.
var buildFlags = []string{"-race"}
