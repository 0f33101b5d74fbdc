//! What goes over the wire to Redis and back: commands as it takes them, answers (RESP2) as values.

use redis::{Value, parse_redis_value};

/// Answers within answers; those of Redis have three.
const DEPTH: u32 = 8;
/// The longest string that Redis has (`proto-max-bulk-len`), bytes.
const LONGEST: usize = 512 << 20;
/// The longest line without an end that may still get one, bytes.
const LONGEST_LINE: usize = 64 << 10;

/// Bytes that no Redis answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not speak as Redis does")]
pub(super) struct NotResp;

/// Begins a command of so many words.
pub(super) fn words(count: usize, to: &mut Vec<u8>) {
    to.push(b'*');
    decimal(count as u64, to);
    to.extend_from_slice(b"\r\n");
}

/// One word of a command.
pub(super) fn word(bytes: &[u8], to: &mut Vec<u8>) {
    to.push(b'$');
    decimal(bytes.len() as u64, to);
    to.extend_from_slice(b"\r\n");
    to.extend_from_slice(bytes);
    to.extend_from_slice(b"\r\n");
}

/// A number as a word.
pub(super) fn number(number: u64, to: &mut Vec<u8>) {
    let mut digits = [0; 20];
    word(digits_of(number, &mut digits), to);
}

fn decimal(number: u64, to: &mut Vec<u8>) {
    let mut digits = [0; 20];
    to.extend_from_slice(digits_of(number, &mut digits));
}

fn digits_of(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// The first answer in `bytes` and its length; `None`: it is not whole yet.
pub(super) fn answer(bytes: &[u8]) -> Result<Option<(Value, usize)>, NotResp> {
    let mut left = bytes;
    let answer = read(&mut left, DEPTH)?;
    Ok(answer.map(|value| (value, bytes.len() - left.len())))
}

fn read(left: &mut &[u8], depth: u32) -> Result<Option<Value>, NotResp> {
    let whole = *left;
    let Some((line, rest)) = line(whole)? else {
        return Ok(None);
    };
    let (&kind, text) = line.split_first().ok_or(NotResp)?;
    *left = rest;
    Ok(Some(match kind {
        b'+' if text == b"OK" => Value::Okay,
        b'+' => Value::SimpleString(String::from_utf8(text.to_vec()).map_err(|_| NotResp)?),
        b':' => Value::Int(integer(text)?),
        b'$' => {
            let Some(length) = length(text, LONGEST)? else {
                return Ok(Some(Value::Nil));
            };
            let Some((string, rest)) = rest.split_at_checked(length) else {
                return Ok(None);
            };
            let Some((end, rest)) = rest.split_at_checked(2) else {
                return Ok(None);
            };
            if end != b"\r\n" {
                return Err(NotResp);
            }
            *left = rest;
            Value::BulkString(string.to_vec())
        }
        b'*' => {
            let Some(count) = length(text, LONGEST)? else {
                return Ok(Some(Value::Nil));
            };
            let depth = depth.checked_sub(1).ok_or(NotResp)?;
            // It says how many there will be; room is made for those that are there.
            let mut parts = Vec::with_capacity(count.min(64));
            for _ in 0..count {
                match read(left, depth)? {
                    Some(part) => parts.push(part),
                    None => return Ok(None),
                }
            }
            Value::Array(parts)
        }
        // Its kinds of errors are the client's to know.
        b'-' => parse_redis_value(&whole[..whole.len() - rest.len()]).map_err(|_| NotResp)?,
        _ => return Err(NotResp),
    }))
}

/// What stands before the first `\r\n`, and what comes after it.
type Line<'a> = (&'a [u8], &'a [u8]);

/// The first line; `None`: it is not all there yet.
fn line(bytes: &[u8]) -> Result<Option<Line<'_>>, NotResp> {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\r') else {
        return if bytes.len() > LONGEST_LINE {
            Err(NotResp)
        } else {
            Ok(None)
        };
    };
    match bytes.get(end + 1) {
        None => Ok(None),
        Some(b'\n') => Ok(Some((&bytes[..end], &bytes[end + 2..]))),
        Some(_) => Err(NotResp),
    }
}

fn integer(text: &[u8]) -> Result<i64, NotResp> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(NotResp)
}

/// `None`: there is nothing, which is another thing than something empty.
fn length(text: &[u8], most: usize) -> Result<Option<usize>, NotResp> {
    match integer(text)? {
        -1 => Ok(None),
        length => usize::try_from(length)
            .ok()
            .filter(|length| *length <= most)
            .map(Some)
            .ok_or(NotResp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_written_as_redis_takes_them() {
        let mut command = Vec::new();
        words(3, &mut command);
        word(b"SET", &mut command);
        word(b"\r\n", &mut command);
        number(u64::MAX, &mut command);
        assert_eq!(
            command,
            b"*3\r\n$3\r\nSET\r\n$2\r\n\r\n\r\n$20\r\n18446744073709551615\r\n"
        );
        command.clear();
        number(0, &mut command);
        assert_eq!(command, b"$1\r\n0\r\n");
    }

    /// As the client's own parser reads them, and from no fewer bytes.
    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        for whole in [
            "+OK\r\n",
            "+PONG\r\n",
            ":-7\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "$0\r\n\r\n",
            "$4\r\na\r\nb\r\n",
            "*0\r\n",
            "*3\r\n:1\r\n*2\r\n$1\r\nx\r\n$-1\r\n+y\r\n",
            "-ERR something\r\n",
            "-MOVED 3999 127.0.0.1:6381\r\n",
            "-LOADING Redis is loading the dataset in memory\r\n",
        ] {
            let expected = parse_redis_value(whole.as_bytes()).expect("the client reads it");
            let followed = format!("{whole}:1\r\n");
            let read = answer(followed.as_bytes())
                .expect("it is an answer")
                .expect("it is whole");
            assert_eq!(read, (expected, whole.len()), "{whole:?}");
            for cut in 0..whole.len() {
                assert_eq!(answer(&whole.as_bytes()[..cut]), Ok(None), "{cut} bytes of {whole:?}");
            }
        }
    }

    #[test]
    fn what_redis_does_not_say_is_refused() {
        let deep = "*1\r\n".repeat(9) + ":1\r\n";
        let endless = "+".repeat(LONGEST_LINE + 1);
        for bad in [
            "HTTP/1.1 400 Bad Request\r\n",
            "\r\n",
            "$-2\r\n",
            "$999999999999\r\n",
            "$1\r\nabc\r\n",
            ":x\r\n",
            ":\r\n",
            "*99999999999999999999\r\n",
            "+a\rb\r\n",
            &deep,
            &endless,
        ] {
            assert_eq!(answer(bad.as_bytes()), Err(NotResp), "{bad:?}");
        }
    }
}
