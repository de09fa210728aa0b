//! etcd's log levels in slog's names: the whole line is the message, so that scripts can compare it. Go: logger.go

macro_rules! log_debug {
    ($logger:expr, $($arg:tt)+) => { slog::debug!($logger, "{}", format_args!($($arg)+)) };
}
macro_rules! log_info {
    ($logger:expr, $($arg:tt)+) => { slog::info!($logger, "{}", format_args!($($arg)+)) };
}
macro_rules! log_warning {
    ($logger:expr, $($arg:tt)+) => { slog::warn!($logger, "{}", format_args!($($arg)+)) };
}
macro_rules! log_error {
    ($logger:expr, $($arg:tt)+) => { slog::error!($logger, "{}", format_args!($($arg)+)) };
}

pub(crate) use {log_debug, log_error, log_info, log_warning};
