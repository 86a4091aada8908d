package s3server

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/goleak"
)

const childDir = "S3SERVER_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		serveUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

// serveUntilKilled is the child process: a server that ends only by kill -9.
func serveUntilKilled(dir string) {
	s, err := Open(DefaultConfig(dir))
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println(s.Endpoint(), s.Credentials().AccessKey, s.Credentials().SecretKey)
	select {}
}

// TestKill kills a server in the middle of many writes: every acknowledged object is
// whole afterwards, every visible one too, and nothing unfinished is left (E1, E2, E5).
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acked := map[string][md5.Size]byte{}
	for round := range 3 {
		killedWrites(t, dir, round, acked)
		s, err := Open(DefaultConfig(dir))
		if err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) != 0 {
			t.Errorf("left in tmp: %v, %v", left, err)
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		c := client(t, s.Endpoint(), s.Credentials())
		for key, want := range acked {
			if got, err := get(t, c, key, ""); err != nil || md5.Sum([]byte(got)) != want {
				t.Errorf("acknowledged %s: %d bytes, %v", key, len(got), err)
			}
		}
		for _, key := range list(t, c, "", "", 1000) {
			if got, err := get(t, c, key, ""); err != nil ||
				!strings.HasPrefix(key, fmt.Sprintf("%x", md5.Sum([]byte(got)))) {
				t.Errorf("visible %s: %d bytes, %v", key, len(got), err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(acked) < 30 {
		t.Errorf("only %d writes were acknowledged", len(acked))
	}
}

// killedWrites writes from many goroutines to a child process, kills it after a few
// answers and adds what was acknowledged. A key begins with the MD5 of its body.
func killedWrites(t *testing.T, dir string, round int, acked map[string][md5.Size]byte) {
	c, kill := child(t, dir)
	// The bucket is there from the second round on.
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil &&
		status(err) != 409 {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	answers := 0
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				body := bytes.Repeat([]byte(fmt.Sprintf("%d/%d/%d ", round, w, i)), 1<<(i%16))
				key := fmt.Sprintf("%x/%d/%d/%d", md5.Sum(body), round, w, i)
				var err error
				if i%5 == 4 {
					err = uploadParts(t, c, key, [][]byte{body[:len(body)/2], body[len(body)/2:]}, "*")
				} else {
					err = create(t, c, key, string(body), false)
				}
				if err != nil {
					return // the child is dead
				}
				mu.Lock()
				acked[key] = md5.Sum(body)
				if answers++; answers == 20+7*round {
					kill()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func child(t *testing.T, dir string) (*s3.Client, func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	kill := func() {
		once.Do(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
	}
	t.Cleanup(kill)
	var endpoint string
	var c Credentials
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		_, err = fmt.Sscan(line, &endpoint, &c.AccessKey, &c.SecretKey)
	}
	if err != nil {
		t.Fatalf("child said %q: %v", line, err)
	}
	return client(t, endpoint, c), kill
}
