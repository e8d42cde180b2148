package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"topicgate/config"
)

func newServe(environ []string) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway, set up by TOPICGATE_ variables (see topicgate config)",
		Long: "Runs the gateway until SIGTERM or SIGINT, which drain it: no new sessions, and those that live are ended spread\n" +
			"over TOPICGATE_DRAIN_TIMEOUT; a second one cuts that short. SIGHUP rereads certificates and the policy file, and\n" +
			"opens audit files anew.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), environ, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

// serve runs a gateway until ctx ends, a signal says so, or a part of it fails.
func serve(ctx context.Context, environ []string, stdout, stderr io.Writer) error {
	// From here on no signal kills us, however early it comes.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)

	c, err := config.Load(environ)
	if err == nil {
		err = checkParts(c)
	}
	if err != nil {
		return usage(wrongSettings(err))
	}
	log := newLogger(c, stderr)
	for _, w := range c.Warnings {
		log.Warn("setting", "variable", w.Variable, "detail", w.Message)
	}
	warnOfFileLimit(c, log)
	p, err := newProcess(c, log, stdout)
	if err != nil {
		return failed(err)
	}
	if err := p.listen(c); err != nil {
		return failed(errors.Join(err, p.close()))
	}
	log.Info("started", "version", versionText(), "instance", p.instance,
		"listen", p.public.Addr().String(), "admin", p.admin.Addr().String(), "tls", p.certs != nil)
	if err := p.run(ctx, signals); err != nil {
		return failed(fmt.Errorf("the gateway had to stop: %w", err))
	}
	log.Info("stopped")
	return nil
}
