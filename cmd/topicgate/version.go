package main

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// version names a release; set by -ldflags "-X main.version=v1.2.3". Without it the version
// control's state at build time counts.
var version string

// versionText is the version, and what it was built with.
func versionText() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return cmp.Or(version, "unknown")
	}
	text := cmp.Or(version, info.Main.Version, "unknown") + " " + info.GoVersion
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			text += " " + s.Value
		}
	}
	return text
}

// userAgent says to providers who asks (RFC 9110 section 10.1.5).
func userAgent() string {
	name := version
	if info, ok := debug.ReadBuildInfo(); ok {
		name = cmp.Or(name, strings.Trim(info.Main.Version, "()")) // "(devel)" would be a comment
	}
	return "topicgate/" + cmp.Or(name, "unknown")
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "topicgate", versionText())
			return err
		},
	}
}
