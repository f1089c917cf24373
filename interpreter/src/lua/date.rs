//! `os.date` and `os.time`. The local time zone is UTC: what a script prints must not depend on where it runs.

use crate::rfc3339::Civil;

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Prints a time by a template; unknown verbs are copied.
pub(super) fn print(template: &str, seconds: i64) -> String {
    let civil = Civil::from_unix(seconds);
    let mut output = String::with_capacity(template.len() + 16);
    let mut characters = template.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            output.push(character);
            continue;
        }
        let Some(verb) = characters.next() else {
            output.push('%');
            break;
        };
        match part(verb, &civil) {
            Some(text) => output.push_str(&text),
            None => output.extend(['%', verb]),
        }
    }
    output
}

fn part(verb: char, civil: &Civil) -> Option<String> {
    let name = |names: &[&'static str], index: i64| {
        usize::try_from(index)
            .ok()
            .and_then(|index| names.get(index).copied())
            .unwrap_or_default()
    };
    let day = name(&DAYS, civil.weekday);
    let month = name(&MONTHS, civil.month - 1);
    let year = format!("{:04}", civil.year);
    let short_year = format!("{:02}", civil.year.rem_euclid(100));
    let hour = if civil.hour % 12 == 0 {
        12
    } else {
        civil.hour % 12
    };
    let (two_month, two_day) = (format!("{:02}", civil.month), format!("{:02}", civil.day));
    let time = format!("{:02}:{:02}:{:02}", civil.hour, civil.minute, civil.second);
    let text = match verb {
        'a' => day[..3].to_owned(),
        'A' => day.to_owned(),
        'b' => month[..3].to_owned(),
        'B' => month.to_owned(),
        'c' => format!(
            "{two_day} {} {short_year} {:02}:{:02} UTC",
            &month[..3],
            civil.hour,
            civil.minute
        ),
        'd' => two_day,
        'F' => format!("{year}-{two_month}-{two_day}"),
        'H' => format!("{:02}", civil.hour),
        'I' => format!("{hour:02}"),
        'm' => two_month,
        'M' => format!("{:02}", civil.minute),
        'p' => if civil.hour < 12 { "AM" } else { "PM" }.to_owned(),
        'P' => if civil.hour < 12 { "am" } else { "pm" }.to_owned(),
        'S' => format!("{:02}", civil.second),
        'w' => civil.weekday.to_string(),
        'x' => format!("{two_month}/{two_day}/{short_year}"),
        'X' => time,
        'y' => short_year,
        'Y' => year,
        'z' => "+0000".to_owned(),
        'Z' => "UTC".to_owned(),
        '%' => "%".to_owned(),
        _ => return None,
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs() {
        let monday = 1_704_196_800 + 3 * 3_600 + 4 * 60 + 5 - 86_400;
        for (template, text) in [
            ("%Y-%m-%dT%H:%M:%SZ", "2024-01-01T15:04:05Z"),
            ("%F %X %x", "2024-01-01 15:04:05 01/01/24"),
            ("%a %A %b %B %w", "Mon Monday Jan January 1"),
            ("%I %p %P %y %z %Z", "03 PM pm 24 +0000 UTC"),
            ("%c", "01 Jan 24 15:04 UTC"),
            ("%q %% %", "%q % %"),
        ] {
            assert_eq!(print(template, monday), text, "{template}");
        }
    }
}
