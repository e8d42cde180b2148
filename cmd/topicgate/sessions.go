package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"topicgate/gateway/registry"
)

func newSessions(environ []string) *cobra.Command {
	var user string
	var asJSON bool
	c := &cobra.Command{
		Use:   "sessions [--user USER] [--json]",
		Short: "List the live sessions of all instances",
		Long: "Lists the live sessions of all instances, oldest first. It reads the same Redis as the gateways, by the same\n" +
			"TOPICGATE_ variables. What an instance that died has left disappears within half a minute.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			policies, prefix, err := openRegistry(environ)
			if err != nil {
				return err
			}
			defer policies.Close()
			sessions, err := registry.LiveSessions(cmd.Context(), policies.Client(), prefix)
			if err != nil {
				return failed(err)
			}
			if cmd.Flags().Changed("user") {
				sessions = slices.DeleteFunc(sessions, func(s registry.LiveSession) bool { return s.User != user })
			}
			if err := writeSessions(cmd.OutOrStdout(), sessions, asJSON); err != nil {
				return failed(err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&user, "user", "", "only those of this username")
	c.Flags().BoolVar(&asJSON, "json", false, "a JSON array of them")
	return c
}

func writeSessions(w io.Writer, sessions []registry.LiveSession, asJSON bool) error {
	switch {
	case asJSON:
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(sessions)
	case len(sessions) == 0:
		_, err := fmt.Fprintln(w, "no live sessions")
		return err
	}
	return printSessions(w, sessions)
}
