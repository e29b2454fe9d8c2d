# fish completion for coredns, made by "coredns kms completion fish".

function __coredns_complete
    set -l before (commandline -opc)
    set -l word (commandline -ct)
    set -l lines ($before[1] kms complete $before[2..] "$word" 2>/dev/null)
    if contains -- :files $lines
        __fish_complete_path "$word"
        return
    end
    printf '%s\n' $lines
end

complete -c coredns -f -a '(__coredns_complete)'
