# Runs the grader's questions on a Windows node, each in a runspace of its own that is stopped when it is late.
# Sent on standard input to a PowerShell started by graders/engine/windows.py; @QUESTIONS@ and @NONCE@ are put in there.
# Answers one line: NONCE and base64 of JSON, in UTF-8 (no console code page touches it).
$ProgressPreference = 'SilentlyContinue'
$utf8 = [Text.Encoding]::UTF8
$questions = ConvertFrom-Json ($utf8.GetString([Convert]::FromBase64String('@QUESTIONS@')))
$answers = @(foreach ($question in $questions) {
    $watch = [Diagnostics.Stopwatch]::StartNew()
    $answer = @{ status = 0; out = ''; error = '' }
    $shell = [PowerShell]::Create()
    try {
        [void]$shell.AddScript($question.run)
        $call = $shell.BeginInvoke()
        if ($call.AsyncWaitHandle.WaitOne([int](1000 * $question.seconds))) {
            $answer.out = ConvertTo-Json -InputObject @($shell.EndInvoke($call)) -Depth 4 -Compress
            if ($shell.HadErrors) {
                $answer.status = 1
                $answer.error = ($shell.Streams.Error | Out-String)
            }
        } else {
            $answer.status = $null
            [void]$shell.BeginStop($null, $null)
        }
    } catch {
        $answer.status = 1
        $answer.error = [string]$_
    }
    foreach ($stream in 'out', 'error') {
        if ($answer[$stream].Length -gt @LIMIT@) { $answer[$stream] = $answer[$stream].Substring(0, @LIMIT@) }
    }
    $answer.seconds = $watch.Elapsed.TotalSeconds
    $answer
})
$told = @{
    clock = ([DateTime]::UtcNow - [DateTime]'1970-01-01').TotalSeconds
    boot = (Get-CimInstance Win32_OperatingSystem).LastBootUpTime.ToUniversalTime().ToString('o')
    answers = $answers
}
'@NONCE@ ' + [Convert]::ToBase64String($utf8.GetBytes((ConvertTo-Json -InputObject $told -Depth 4 -Compress)))
