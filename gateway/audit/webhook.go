package audit

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// webhookTimeout bounds one request, its answer included.
	webhookTimeout = 10 * time.Second
	// webhookBody is from how many bytes on a request takes no further event.
	webhookBody = 256 << 10
	// webhookAnswer is how much of an answer is read, so that its connection serves again.
	webhookAnswer = 4 << 10

	// SignatureHeader is t=SECONDS,v1=HEX: the time of the request since 1970, and HMAC-SHA256 over that number, a dot and
	// the body. A receiver that compares t with its clock takes no request that somebody repeats later.
	SignatureHeader = "Topicgate-Signature"
)

// NewWebhookSink posts events as lines of JSON (application/x-ndjson), many in one request, and signs each request with
// the secret. A status of 2xx takes them. 408, 425, 429, 5xx and a network that fails are tried again, so events may come
// twice; any other status refuses them. Redirects are not followed: they would lead records, and what is signed, somewhere
// that nobody has named.
func NewWebhookSink(url, secret string) Sink {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxResponseHeaderBytes = 1, 64<<10
	return &webhookSink{url: url, secret: []byte(secret), client: &http.Client{
		Transport:     transport,
		Timeout:       webhookTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

type webhookSink struct {
	url    string // may hold a secret: it stands in no error
	secret []byte
	client *http.Client
}

func (s *webhookSink) Write(ctx context.Context, events []Event) error {
	for written := 0; written < len(events); {
		var body bytes.Buffer
		n := written
		for ; n < len(events) && body.Len() < webhookBody; n++ {
			if err := events[n].encode(&body); err != nil {
				return err
			}
		}
		status, err := s.post(ctx, body.Bytes())
		switch {
		case err != nil:
			return &WriteError{written, fmt.Errorf("webhook: %w", err)}
		case status >= 200 && status <= 299:
		case isTemporary(status):
			return &WriteError{written, fmt.Errorf("webhook: status %d", status)}
		default:
			return &WriteError{written, &RefusedError{n - written, fmt.Errorf("webhook: status %d", status)}}
		}
		written = n
	}
	return nil
}

func isTemporary(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

func (s *webhookSink) post(ctx context.Context, body []byte) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("the URL cannot be used") // its own words would quote it
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	request.Header.Set("User-Agent", "topicgate")
	request.Header.Set(SignatureHeader, sign(s.secret, time.Now(), body))
	response, err := s.client.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // without the URL
		}
		return 0, err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, webhookAnswer)
	return response.StatusCode, nil
}

// sign gives the value of SignatureHeader.
func sign(secret []byte, at time.Time, body []byte) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(seconds + "."))
	mac.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

func (s *webhookSink) Close() error {
	s.client.CloseIdleConnections()
	return nil
}
