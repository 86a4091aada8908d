package lake

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// newClient makes the client of the SDK. If the configuration has a key pair, the default credential
// chain is not asked, because it would look for instance metadata where there is none.
func newClient(ctx context.Context, cfg Config, transport http.RoundTripper) (*s3.Client, error) {
	o := s3.Options{
		Region:       cfg.Region,
		UsePathStyle: cfg.PathStyle,
		Retryer:      newRetryer(cfg),
		HTTPClient: &http.Client{
			Transport: transport,
			// A redirect means that the region is wrong. The request is not signed for its target.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		Credentials: credentials.NewStaticCredentialsProvider(cfg.AccessKey, cfg.SecretKey, ""),
	}
	if cfg.AccessKey == "" {
		chain, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, fmt.Errorf("load AWS credentials: %w", err)
		}
		o.Credentials = chain.Credentials
		if o.Region == "" {
			o.Region = chain.Region
		}
	}
	if o.Region == "" {
		return nil, fmt.Errorf("object_store: the region is missing: add ?region=… to the url or set AWS_REGION")
	}
	if cfg.Endpoint != "" {
		o.BaseEndpoint = &cfg.Endpoint
	}
	if !cfg.isAWS() {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	}
	return s3.New(o), nil
}

// newRetryer retries the errors that the SDK retries by default, and 409, which S3 answers when two
// writes of a key meet. The retry quota of the SDK is off, because it would end requests that
// Attempts still allows.
func newRetryer(cfg Config) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = cfg.Attempts
		o.MaxBackoff = cfg.Backoff
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return pause(attempt, cfg.Backoff), nil
		})
		o.RateLimiter = ratelimit.None
		o.Retryables = append(o.Retryables, retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{
			http.StatusRequestTimeout: {}, http.StatusConflict: {}, http.StatusTooManyRequests: {},
		}})
	})
}

// withoutRetry makes the SDK send a request once. The caller handles errors itself.
func withoutRetry(o *s3.Options) { o.Retryer = aws.NopRetryer{} }

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConns:          128,
		MaxIdleConnsPerHost:   128,
		MaxConnsPerHost:       256,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
		DisableCompression:    true, // Objects are compressed already, and ranges must stay ranges.
	}
}
