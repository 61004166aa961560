# pf-stream table: counts, means, slowest and failures of a manifest.
. "$(dirname "$0")/../lib.sh"
cat >m.jsonl <<'END'
{"object":"mug","status":"failed","error":"pf-crop: mug.png: no"}
{"object":"ball","status":"done","seconds":4,"psnr":20,"coverage":0.25,"faces":100,"watertight":true,"stages":[{"tool":"pf-crop","seconds":0.5,"memory":7},{"tool":"pf-sample","seconds":2},{"tool":"pf-extract-mesh","memory":5}]}
{"object":"mug","status":"done","seconds":2,"psnr":30,"coverage":0.75,"faces":300,"watertight":false,"stages":[{"tool":"pf-crop","seconds":1.5,"memory":9},{"tool":"pf-sample","seconds":1}]}
{"object":"a\u001bb","status":"failed","error":"pf-crop: a\u001b[2Jb.png: empty"}
END
cat >expected <<'END'
3 objects: 2 done, 1 failed
1 of 2 meshes are watertight

                             mean        min        max  objects
psnr                           25         20         30        2
coverage                      0.5       0.25       0.75        2
faces                         200        100        300        2
seconds                         3          2          4        2
pf-crop seconds                 1        0.5        1.5        2
pf-sample seconds             1.5          1          2        2
pf-crop memory                  8          7          9        2
pf-extract-mesh memory          5          5          5        1

slowest
       4.0 s  ball
       2.0 s  mug

failed
  a?b: pf-crop: a?[2Jb.png: empty
END
ok "the table, of which the last line of an object counts" sh -c 'pf-stream table m.jsonl | diff - expected >&2'
ok "several manifests, one on standard input" sh -c 'head -n 1 m.jsonl >m1; tail -n +2 m.jsonl | pf-stream table m1 - | cmp - expected'
ok "to a file" sh -c 'pf-stream table -o t m.jsonl && cmp t expected'
echo '{"object":"x","status":' >>m.jsonl
fails "a line that is cut off" 1 "m.jsonl:5: is no line of a manifest" pf-stream table m.jsonl
fails "one that is of something else" 1 "stdin:1: is no line of a manifest: object and status are missing" sh -c 'echo "{\"a\":1}" | pf-stream table'
fails "no such manifest" 1 "none.jsonl" pf-stream table none.jsonl
fails "an option of another command" 2 "a manifest is none" pf-stream table --index 0 m.jsonl
ok "an empty one" test "$(pf-stream table </dev/null)" = "0 objects: 0 done, 0 failed"
