// nitrite-verify ROOT.pem NONCE-HEX: verifies the attestation document (COSE_Sign1) on standard input with github.com/hf/nitrite against this root
// alone, now; prints module id and PCRs as JSON. Exit status 1 when it does not verify or the nonce is another one.
package main

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hf/nitrite"
)

func fail(why ...any) {
	fmt.Println(why...)
	os.Exit(1)
}

func main() {
	if len(os.Args) != 3 {
		fail("usage: nitrite-verify ROOT.pem NONCE-HEX <document")
	}
	pem, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		fail("no certificate in", os.Args[1])
	}
	document, err := io.ReadAll(os.Stdin)
	if err != nil {
		fail(err)
	}
	result, err := nitrite.Verify(document, nitrite.VerifyOptions{Roots: roots, CurrentTime: time.Now()})
	if err != nil {
		fail(err)
	}
	if !result.SignatureOK {
		fail("signature")
	}
	nonce, err := hex.DecodeString(os.Args[2])
	if err != nil || !bytes.Equal(nonce, result.Document.Nonce) {
		fail("nonce")
	}
	pcrs := map[string]string{}
	for i, v := range result.Document.PCRs {
		pcrs[fmt.Sprint(i)] = hex.EncodeToString(v)
	}
	text, _ := json.Marshal(map[string]any{"module_id": result.Document.ModuleID, "pcrs": pcrs, "user_data": hex.EncodeToString(result.Document.UserData)})
	fmt.Println(string(text))
}
