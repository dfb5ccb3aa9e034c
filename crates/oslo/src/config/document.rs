//! The table of options in print: the sample file and the reference page.

use super::{
    kind::OptionType,
    options::{DRIVER, DRIVERS, DriverDef, OPTIONS, OptionDef, SECTIONS},
};

/// Width of `oslo-config-generator`'s comments.
const WIDTH: usize = 70;

/// A commented `protector.conf` in the form of `oslo-config-generator`: every option with its
/// help, type, range and default, switched off.
#[must_use]
pub fn sample() -> String {
    let sections: Vec<String> = SECTIONS
        .iter()
        .map(|(name, help)| sample_section(name, help))
        .chain(DRIVERS.iter().map(sample_array))
        .collect();
    sections.join("\n\n")
}

/// The section of an array, as a comment: it counts only where the array is enabled.
fn sample_array(driver: &DriverDef) -> String {
    let mut text = String::new();
    let (name, help) = (driver.name, driver.help);
    comment(
        &mut text,
        &format!(
            "The section of an array of {name}, for each that [storage] enabled_arrays names. {help}"
        ),
    );
    text.push_str(&format!("#\n# [NAME]\n# {} = {name}\n", DRIVER.name));
    for option in driver.options {
        text.push_str("#\n");
        comment(
            &mut text,
            &format!("{} ({})", option.help, option.kind.type_name()),
        );
        let default = shown_default(option).unwrap_or("<None>");
        text.push_str(&format!("# {} = {default}\n", option.name));
    }
    text
}

fn sample_section(name: &str, help: &str) -> String {
    let mut text = format!("[{name}]\n");
    comment(&mut text, help);
    text.push_str("\n#\n# From protector\n#\n");
    for option in of_section(name) {
        text.push('\n');
        sample_option(&mut text, option);
    }
    text
}

fn of_section(name: &str) -> impl Iterator<Item = &'static OptionDef> {
    OPTIONS.iter().filter(move |option| option.section == name)
}

fn sample_option(text: &mut String, option: &OptionDef) {
    comment(
        text,
        &format!("{} ({})", option.help, option.kind.type_name()),
    );
    let (min, max) = option.kind.bounds();
    if let Some(min) = min {
        text.push_str(&format!("# Minimum value: {min}\n"));
    }
    if let Some(max) = max {
        text.push_str(&format!("# Maximum value: {max}\n"));
    }
    if let OptionType::Enum(choices) = option.kind {
        text.push_str("# Possible values:\n");
        for (value, meaning) in choices {
            comment(text, &format!("{value} - {meaning}"));
        }
    }
    let default = match shown_default(option) {
        Some(default) => default,
        None if matches!(option.kind, OptionType::List | OptionType::MultiStr) => "",
        None => "<None>",
    };
    text.push_str(format!("#{} = {default}", option.name).trim_end());
    text.push('\n');
}

fn shown_default(option: &OptionDef) -> Option<&'static str> {
    option.sample_default.or(option.default)
}

fn comment(text: &mut String, prose: &str) {
    for line in crate::wrap::wrapped(prose, WIDTH - 2) {
        text.push_str(&format!("# {line}\n"));
    }
}

/// The reference page of `protector.conf` in Markdown.
#[must_use]
pub fn reference_markdown() -> String {
    let mut text = String::from(
        "<!-- Generated from the table of options; change crates/oslo/src/config/options.rs. -->\n\n\
         # Configuration reference\n\n\
         `protector.conf` is an oslo.config file: sections, `option = value`, comments on lines of\n\
         their own that begin with `#`, `$option` and `${section.option}` for the value of another\n\
         option, `$$` for a dollar sign. The services read `/etc/protector/protector.conf`, or what\n\
         `--config-file` and `--config-dir` name; of two files the later wins. Unknown options and\n\
         bad values are refused with file, line, option and valid range; `protector-manage config\n\
         check` shows them all without starting anything. After a change, restart the services.\n",
    );
    for (name, help) in SECTIONS {
        text.push_str(&format!("\n## [{name}]\n\n{help}\n"));
        for option in of_section(name) {
            reference_option(&mut text, option);
        }
    }
    text.push_str("\n## The section of an array\n\nEach array of `[storage] enabled_arrays` has a section of its name.\n");
    reference_option(&mut text, &DRIVER);
    for driver in DRIVERS {
        text.push_str(&format!("\nOf a `{}`:\n", driver.name));
        for option in driver.options {
            reference_option(&mut text, option);
        }
    }
    text
}

fn reference_option(text: &mut String, option: &OptionDef) {
    text.push_str(&format!("\n### `{}`\n\n", option.name));
    let default = match (option.sample_default, option.default) {
        (Some(shown), _) => shown.trim_matches(['<', '>']).to_owned(),
        (None, Some(default)) => format!("`{default}`"),
        (None, None) => "none".to_owned(),
    };
    text.push_str(&format!(
        "{}. Default: {default}.{} Since {}.\n\n{}\n",
        valid_values(option.kind),
        if option.secret { " Secret." } else { "" },
        option.since,
        option.help
    ));
    if let OptionType::Enum(choices) = option.kind {
        text.push('\n');
        for (value, meaning) in choices {
            text.push_str(&format!("* `{value}`: {meaning}\n"));
        }
    }
}

fn valid_values(kind: OptionType) -> String {
    let name = match kind {
        OptionType::Str => "Text",
        OptionType::Int { .. } => "Integer",
        OptionType::Float { .. } => "Number",
        OptionType::Bool => "`true` or `false`",
        OptionType::List => "List, separated by commas",
        OptionType::MultiStr => "Text; may be given repeatedly",
        OptionType::Port => "Port",
        OptionType::Path => "Path",
        OptionType::Enum(_) => "One of the values below",
        OptionType::Seconds { .. } => "Seconds, integer",
        OptionType::FractionalSeconds { .. } => "Seconds, may have a fraction",
    };
    match kind.bounds() {
        (Some(min), Some(max)) => format!("{name}, {min} to {max}"),
        (Some(min), None) => format!("{name} ≥ {min}"),
        (None, Some(max)) => format!("{name} ≤ {max}"),
        (None, None) => name.to_owned(),
    }
}
