package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"topicgate/gateway/registry"
	"topicgate/policy/store"
)

// disconnectTimeout is how long sessions may take to end: an instance waits seconds for clients that do not
// read their last words.
const disconnectTimeout = 10 * time.Second

func newDisconnect(environ []string) *cobra.Command {
	var clientID string
	c := &cobra.Command{
		Use:   "disconnect USER [--client-id C]",
		Short: "End the live sessions of a user on all instances",
		Long: "Ends the live sessions of a user on all instances, and lists them: MQTT 5 clients get DISCONNECT 0x98 first, the\n" +
			"WebSocket is closed with 4403, Wills are published. It uses the same Redis as the gateways, by the same TOPICGATE_\n" +
			"variables. Whose token is still good may come back at once; the Redis set \"blocked\" keeps users out.\n" +
			"Exit status 0: all have ended, 1: there was none, or one has not ended, 2: wrong usage or settings.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return errors.New("which USER is to be disconnected?")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("client-id") && clientID == "" {
				return usage(errors.New("--client-id is empty; without it all sessions of the user are ended"))
			}
			policies, prefix, err := openRegistry(environ)
			if err != nil {
				return err
			}
			defer policies.Close()
			return disconnect(cmd, policies, prefix, args[0], clientID)
		},
	}
	c.Flags().StringVar(&clientID, "client-id", "", "only the session with this Client Identifier, as the client knows it")
	return c
}

// disconnect returns an outcome.
func disconnect(cmd *cobra.Command, policies *store.Store, prefix, user, clientID string) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), disconnectTimeout)
	defer cancel()
	gone, left, err := registry.Disconnect(ctx, policies.Client(), prefix, user, clientID)
	if len(gone) > 0 {
		if err := printSessions(cmd.OutOrStdout(), gone); err != nil {
			return failed(err)
		}
	}
	switch {
	case err != nil:
		return failed(err)
	case len(left) > 0:
		var names []string
		for _, s := range left {
			names = append(names, cell(s.Session)+" on "+cell(s.Instance))
		}
		return failed(fmt.Errorf("told to end, but still live: %s", strings.Join(names, ", ")))
	case len(gone) == 0:
		return failed(fmt.Errorf("%q has no such live session", user))
	}
	return nil
}
