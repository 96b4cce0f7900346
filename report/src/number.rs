//! Numbers as people read them. What is no number is a dash.

/// What stands where nothing is known.
pub(crate) const NONE: &str = "–";
const MINUS: &str = "−";
/// Keeps a number and its unit on one line.
const NBSP: char = '\u{a0}';

/// A number rounded to `digits` significant ones: `0.0123`, `4,210`, `1.5e-7`.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return NONE.into();
    }
    if value == 0.0 {
        return "0".into();
    }
    // Rounding first: 0.9996 has as many digits before the point as 1.0.
    let rounded = format!("{value:.*e}", digits - 1);
    let exponent: i32 = rounded.rsplit('e').next().and_then(|e| e.parse().ok()).unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        return rounded.replace('-', MINUS);
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    fixed(value, decimals)
}

/// A digit times a power of ten: `2e−7`, `0.05`, `100`.
pub(crate) fn scientific(digit: u8, power: i32) -> String {
    match power {
        -3..=4 => {
            let decimals = power.min(0).unsigned_abs() as usize;
            fixed(f64::from(digit) * 10_f64.powi(power), decimals)
        }
        _ => format!("{digit}e{power}").replace('-', MINUS),
    }
}

/// [`significant`] without zeros at the end of the decimals.
pub(crate) fn exact(value: f64, digits: usize) -> String {
    let text = significant(value, digits);
    match text.contains('.') && !text.contains('e') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A number with so many decimals, thousands apart.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return NONE.into();
    }
    if value.abs() >= 1e15 {
        return format!("{value:.3e}").replace('-', MINUS);
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let sign =
        if value < 0.0 && text.bytes().any(|b| (b'1'..=b'9').contains(&b)) { MINUS } else { "" };
    let point = if part.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{part}", thousands(whole))
}

fn thousands(digits: &str) -> String {
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// With a plus where it grows.
pub(crate) fn signed(value: f64, decimals: usize) -> String {
    let text = fixed(value, decimals);
    if value > 0.0 { format!("+{text}") } else { text }
}

/// A count in full: `12,345`.
pub(crate) fn count(n: u64) -> String {
    thousands(&n.to_string())
}

/// A count in few characters: `950`, `12k`, `3.4M`.
pub(crate) fn short(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["", "k", "M", "G", "T", "P"] {
        if value < 999.5 {
            let digits = if unit.is_empty() || value >= 99.5 { 0 } else { 1 };
            let text = format!("{value:.digits$}");
            return format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text));
        }
        value /= 1000.0;
    }
    format!("{value:.0}E")
}

/// A share in percent. Never rounded to 0 % or 100 % what is neither.
pub(crate) fn percent(share: f64, decimals: usize) -> String {
    let value = share * 100.0;
    if !value.is_finite() {
        return NONE.into();
    }
    let least = 0.1_f64.powi(decimals as i32);
    let (sign, value) = if value > 0.0 && value < least / 2.0 {
        ("<", least)
    } else if value < 100.0 && value > 100.0 - least / 2.0 {
        (">", 100.0 - least)
    } else {
        ("", value)
    };
    format!("{sign}{}{NBSP}%", fixed(value, decimals))
}

/// A small share in percent, to two digits: `0.0012 %`.
pub(crate) fn small_percent(share: f64) -> String {
    let value = share * 100.0;
    if value.is_finite() { format!("{}{NBSP}%", significant(value, 2)) } else { NONE.into() }
}

/// Bytes, a thousand to the next unit.
pub(crate) fn bytes(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            let text = if unit == "B" { fixed(value, 0) } else { significant(value, 3) };
            return format!("{text}{NBSP}{unit}");
        }
        value /= 1000.0;
    }
    format!("{}{NBSP}TB", significant(value, 3))
}

/// How much `after` is more than `before`: `−73 %`.
pub(crate) fn change(before: u64, after: u64) -> String {
    if before == 0 {
        return NONE.into();
    }
    let percent = (after as f64 / before as f64 - 1.0) * 100.0;
    format!("{}{NBSP}%", signed(percent, if percent.abs() < 10.0 { 1 } else { 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(significant(0.012_345, 3), "0.0123");
        assert_eq!(significant(0.999_9, 3), "1.00");
        assert_eq!(significant(-1234.5, 3), "−1,234");
        assert_eq!(significant(1.5e-7, 3), "1.50e−7");
        assert_eq!([significant(f64::NAN, 3), significant(0.0, 3)], [NONE, "0"]);
        assert_eq!([exact(0.0094, 4), exact(100.0, 2)], ["0.0094", "100"]);
        assert_eq!(fixed(-0.000_1, 2), "0.00");
        assert_eq!(signed(0.006, 3), "+0.006");
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(
            [short(950), short(1200), short(999_950), short(12_345_678)],
            ["950", "1.2k", "1M", "12.3M"]
        );
        assert_eq!(percent(0.999_99, 1), ">99.9\u{a0}%");
        assert_eq!([percent(1.0, 1), percent(0.0, 1)], ["100.0\u{a0}%", "0.0\u{a0}%"]);
        assert_eq!(bytes(999_900), "1.00\u{a0}MB");
        assert_eq!(change(100, 27), "−73\u{a0}%");
        assert_eq!(change(0, 5), NONE);
    }
}
